# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name          = "photos"
  description   = "test"
  value_version = 1
}

run "three_days" {
  command = plan

  module {
    source = "./modules/secret"
  }

  variables {
    recovery_days = 3
  }

  expect_failures = [var.recovery_days]
}

run "too_many_days" {
  command = plan

  module {
    source = "./modules/secret"
  }

  variables {
    recovery_days = 31
  }

  expect_failures = [var.recovery_days]
}
