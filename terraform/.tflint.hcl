# The ruleset for AWS is not here: it can only be had from GitHub.
plugin "terraform" {
  enabled = true
  preset  = "all"
}
