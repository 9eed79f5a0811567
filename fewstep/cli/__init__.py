"""Commands of the command line that have a file of their own; `fewstep.cli` puts them together."""
