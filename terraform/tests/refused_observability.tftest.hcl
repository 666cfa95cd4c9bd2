# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name              = "photos"
  queue_name        = "photos-jobs"
  dead_letters_name = "photos-dead-letters"
  job_queue_arn     = "arn:aws:batch:eu-central-1:123456789012:job-queue/photos"
}

run "retention_of_two_days" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    log_retention_days = 2
  }

  expect_failures = [var.log_retention_days]
}

run "address_without_at" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    alarm_emails = ["night"]
  }

  expect_failures = [var.alarm_emails]
}

run "impatient" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    oldest_message_minutes = 1
  }

  expect_failures = [var.oldest_message_minutes]
}

run "sleepy" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    oldest_message_minutes = 1441
  }

  expect_failures = [var.oldest_message_minutes]
}

run "no_progress_soon" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    no_progress_minutes = 10
  }

  expect_failures = [var.no_progress_minutes]
}

run "no_progress_odd" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    no_progress_minutes = 61
  }

  expect_failures = [var.no_progress_minutes]
}

run "no_progress_for_days" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    no_progress_minutes = 2000
  }

  expect_failures = [var.no_progress_minutes]
}

run "budget_of_nothing" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    monthly_budget_usd = 0
  }

  expect_failures = [var.monthly_budget_usd]
}
