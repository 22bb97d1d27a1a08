"""The command line: many pictures, one after the other, into a folder."""
