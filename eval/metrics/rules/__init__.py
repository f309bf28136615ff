"""Rules of the road as a score."""

from drive.eval.metrics.rules.score import RuleEvaluation, RulesScore, Verdict, judged

__all__ = ["RuleEvaluation", "RulesScore", "Verdict", "judged"]
