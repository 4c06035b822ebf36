"""Files that somebody made to do harm, and what each of them would do: nothing here is harmful itself."""
