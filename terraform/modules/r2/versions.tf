terraform {
  # Write-only arguments and ephemeral inputs: secrets are in no plan and no state.
  required_version = ">= 1.11"
}
