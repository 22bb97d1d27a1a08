"""What users give, as text, JSON and files, into values that the code can trust."""
