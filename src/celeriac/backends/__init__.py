"""Result backends: where states and values are kept."""
