"""Stand-ins for what a test machine lacks: BU, CMSSW job, merge script, cloud tool, farm."""
