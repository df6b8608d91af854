"""What the API holds, by noun: frozen answers, and the calls that give them."""
