"""Files written for other systems, run as they are."""
