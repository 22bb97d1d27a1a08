"""Studio's form, made from the table of parameters."""
