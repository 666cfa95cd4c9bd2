terraform {
  required_version = ">= 1.11"

  required_providers {
    cloudflare = {
      source = "cloudflare/cloudflare"
      # Exactly the line that this was written for: arguments of tokens have changed within version 5.
      version = "~> 5.8.0"
    }
  }
}
