"""The planners, one file or folder each; reached by name through `drive.registry`."""
