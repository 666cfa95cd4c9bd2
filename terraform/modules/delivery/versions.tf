terraform {
  # Write-only arguments and ephemeral inputs: secrets that are given are in no plan and no state. The key of the user
  # that is made for SES is in the state: no resource makes one without.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
