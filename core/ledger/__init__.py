"""Jobs as durable facts: submit, choose and claim, heartbeat, finish, fail, rings."""
