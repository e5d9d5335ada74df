"""Minecraft's protocol, block states and player physics, re-implemented (PrismarineJS), in a lockstep Node process."""
