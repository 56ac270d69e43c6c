"""One module for each official layout."""
