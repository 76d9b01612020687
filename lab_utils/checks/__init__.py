"""The checkpoints of every lab, one module per lab, and what they share."""
