# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name = "photos"
}

run "nothing_to_roll_back_to" {
  command = plan

  module {
    source = "./modules/registry"
  }

  variables {
    keep_images = 1
  }

  expect_failures = [var.keep_images]
}
