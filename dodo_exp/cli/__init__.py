"""Words in, words out: one file per verb. The only floor that prints or exits."""
