"""What a slot does for each kind of job."""
