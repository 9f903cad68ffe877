"""Stories in virtual time: the real core against simulated terminals."""
