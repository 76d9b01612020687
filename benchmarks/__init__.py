"""What serving costs: the course's server against its limit and against what people use instead."""
