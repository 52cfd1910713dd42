"""Events: telling them, hearing them, and the picture of nodes and tasks that they draw."""
