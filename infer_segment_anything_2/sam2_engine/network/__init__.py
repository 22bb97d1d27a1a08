"""From a weights file to Meta's network."""
