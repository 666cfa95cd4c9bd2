terraform {
  # Write-only arguments and ephemeral inputs: secrets that are given are in no plan and no state.
  required_version = ">= 1.11"
}
