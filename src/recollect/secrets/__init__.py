"""What holds keys and passwords: which texts, which files, which folders. Functions of their arguments."""
