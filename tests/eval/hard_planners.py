"""Planners that harm the process that they run in; loaded by path."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from runpy import run_path

from drive.planner import Observation, Plan
from drive.scenario import Task

TINY = run_path(str(Path(__file__).with_name("bench_scenes.py")))
keep, named, scenes = TINY["_keep"], TINY["named"], TINY["scenes"]


def _forks(observation: Observation, task: Task) -> Plan:
    """Doubles its process in the third step; both go on."""
    if observation.step == 2:
        os.fork()
    return keep(observation, task)


def _leaves_a_child(observation: Observation, task: Task) -> Plan:
    """Starts a program that outlives it, and the watchdog's patience, and holds all that it has inherited."""
    if observation.step == 2:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    return keep(observation, task)


def _eats_memory(observation: Observation, task: Task) -> Plan:
    """Takes memory without end; the limit of this test's process stands for the machine's."""
    if observation.step == 2:
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + (300 << 20), resource.RLIM_INFINITY))
        hoard = []
        try:
            while True:
                hoard.append(b"x" * (16 << 20))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return keep(observation, task)


def _closes_its_output(observation: Observation, task: Task) -> Plan:
    if not sys.stdout.closed:
        sys.stdout.close()
        os.close(1)
    return keep(observation, task)


def _closes_everything(observation: Observation, task: Task) -> Plan:
    if observation.step == 2:
        os.closerange(0, 256)
    return keep(observation, task)


def _deaf(observation: Observation, task: Task) -> Plan:
    """Hears no signal that can be unheard, and does not come back."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(1000.0)
    return keep(observation, task)


def _recurses(observation: Observation, task: Task) -> Plan:
    return _recurses(observation, task)


def _wanders(observation: Observation, task: Task) -> Plan:
    """Leaves for another folder, and changes what the process thinks of numbers and the time."""
    os.chdir("/")
    os.environ["TZ"] = "Pacific/Chatham"
    time.tzset()
    os.umask(0o777)
    return keep(observation, task)


good = named("good", keep)
forks = named("forks", _forks)
leaves_a_child = named("leaves_a_child", _leaves_a_child)
eats_memory = named("eats_memory", _eats_memory)
closes_its_output = named("closes_its_output", _closes_its_output)
closes_everything = named("closes_everything", _closes_everything)
deaf = named("deaf", _deaf)
recurses = named("recurses", _recurses)
wanders = named("wanders", _wanders)
