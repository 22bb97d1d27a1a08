"""How the bundled model was made: scene generator, training and evaluation."""
