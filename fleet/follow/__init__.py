"""The automation of the fleet tool: keeps the farm where a policy wants it while the beam mode comes and goes."""
