"""Picture to features: the encoder's input, its output, and the memory of pictures."""
