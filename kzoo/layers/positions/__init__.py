"""Positions: what tells a transformer the order of its tokens."""
