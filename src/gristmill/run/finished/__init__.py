"""What is done with a finished dataset: verified, exported to other formats, cleaned of what is spent."""
