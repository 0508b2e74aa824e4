"""How AWS is called: its clients, and what happens where a call, a body, a credential or the clock fails."""
