"""How fast the simulator is: `worldsim bench`."""
