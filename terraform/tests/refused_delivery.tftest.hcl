# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name = "photos"
  mail = true
}

run "ses_mailbox" {
  command = plan

  module {
    source = "./modules/delivery"
  }

  variables {
    ses_domain = "photos@example.com"
  }

  expect_failures = [var.ses_domain]
}

run "ses_capitals" {
  command = plan

  module {
    source = "./modules/delivery"
  }

  variables {
    ses_domain = "Example.com"
  }

  expect_failures = [var.ses_domain]
}

run "webhook_secret_without_prefix" {
  command = plan

  module {
    source = "./modules/delivery"
  }

  variables {
    webhook_secret = "c2VjcmV0"
  }

  expect_failures = [var.webhook_secret]
}

run "webhook_secret_too_short" {
  command = plan

  module {
    source = "./modules/delivery"
  }

  variables {
    webhook_secret = "whsec_c2VjcmV0"
  }

  expect_failures = [var.webhook_secret]
}
