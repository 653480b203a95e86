"""What a connector may know of Flyball: `plugin.v1`, and nothing else."""
