# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name               = "photos"
  job_queue_arn      = "arn:aws:batch:eu-central-1:123456789012:job-queue/photos"
  job_definition     = "photos"
  job_definition_arn = "arn:aws:batch:eu-central-1:123456789012:job-definition/photos"
}

run "visibility_too_short" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    visibility_timeout = 5
  }

  expect_failures = [var.visibility_timeout]
}

run "visibility_too_long" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    visibility_timeout = 43201
  }

  expect_failures = [var.visibility_timeout]
}

run "few_receives" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    max_receive_count = 3
  }

  expect_failures = [var.max_receive_count]
}

run "many_receives" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    max_receive_count = 1001
  }

  expect_failures = [var.max_receive_count]
}
