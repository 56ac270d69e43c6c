"""Simulated drives: random streets, ray-cast for cameras and LiDAR, written in official layouts."""
