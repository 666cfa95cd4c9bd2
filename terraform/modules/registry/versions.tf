terraform {
  # Write-only arguments and ephemeral inputs: secrets that are given are in no plan and no state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
