# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name              = "photos"
  subnet_ids        = ["subnet-1"]
  security_group_id = "sg-1"
  image             = "registry.example.com/photos@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  repository_arn    = "arn:aws:ecr:eu-central-1:123456789012:repository/photos"
  environment       = {}
  queue_arn         = "arn:aws:sqs:eu-central-1:123456789012:photos"
  dead_letters_arn  = "arn:aws:sqs:eu-central-1:123456789012:dead"
  log_group         = { name = "/aws/batch/photos", arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/batch/photos" }
}

run "no_subnets" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    subnet_ids = []
  }

  expect_failures = [var.subnet_ids]
}

run "image_by_tag" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    image = "registry.example.com/photos:latest"
  }

  expect_failures = [var.image]
}

run "architecture_of_docker" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    architecture = "amd64"
  }

  expect_failures = [var.architecture]
}

run "family_without_size" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    instance_types = ["c5n"]
  }

  expect_failures = [var.instance_types]
}

run "negative_vcpus" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    max_vcpus = -1
  }

  expect_failures = [var.max_vcpus]
}

run "half_a_vcpu" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    max_vcpus = 1.5
  }

  expect_failures = [var.max_vcpus]
}

run "too_many_vcpus" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    max_vcpus = 10001
  }

  expect_failures = [var.max_vcpus]
}

run "container_without_vcpu" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    vcpus = 0
  }

  expect_failures = [var.vcpus]
}

run "container_without_memory" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    memory_mib = 256
  }

  expect_failures = [var.memory_mib]
}

run "spool_of_nothing" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    spool_gib = 0
  }

  expect_failures = [var.spool_gib]
}

run "timeout_too_short" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    timeout_seconds = 59
  }

  expect_failures = [var.timeout_seconds]
}

run "environment_of_batch" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    environment = { AWS_BATCH_JOB_ID = "1" }
  }

  expect_failures = [var.environment]
}

run "environment_with_bad_name" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    environment = { "a-b" = "1" }
  }

  expect_failures = [var.environment]
}

run "does_not_fit" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    memory_mib = 3600
  }

  expect_failures = [aws_batch_compute_environment.this]
}

run "more_vcpus_than_there_are" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    vcpus = 4
  }

  expect_failures = [aws_batch_compute_environment.this]
}

run "wrong_architecture" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    instance_types = ["c7gn.large"]
  }

  expect_failures = [aws_batch_compute_environment.this]
}

run "less_than_one_container" {
  command = plan

  module {
    source = "./modules/compute"
  }

  variables {
    max_vcpus = 1
  }

  expect_failures = [aws_batch_compute_environment.this]
}
