"""What runs inside a child: the port (`base.py`), and the pools that implement it."""
