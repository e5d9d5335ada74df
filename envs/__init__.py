"""Ground truths: environments that know their own state, controllers that probe them, and scenarios."""
