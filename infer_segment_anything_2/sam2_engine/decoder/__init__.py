"""The network's mask decoder, arranged for many prompts on one picture."""
