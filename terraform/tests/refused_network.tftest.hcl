# Values that must be refused, each with the variable that refuses it.

mock_provider "aws" {
  source = "./tests/aws"
}

variables {
  name = "photos"
}

run "cidr_too_small" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr = "10.0.0.0/28"
  }

  expect_failures = [var.cidr]
}

run "cidr_too_large" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr = "10.0.0.0/8"
  }

  expect_failures = [var.cidr]
}

run "cidr_that_is_none" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    cidr = "ten"
  }

  expect_failures = [var.cidr]
}

run "one_zone" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["eu-central-1a"]
  }

  expect_failures = [var.zones]
}

run "one_zone_twice" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    zones = ["eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.zones]
}

run "port_zero" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    egress_ports = [0]
  }

  expect_failures = [var.egress_ports]
}

run "port_too_high" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    egress_ports = [65536]
  }

  expect_failures = [var.egress_ports]
}

run "region_with_one_zone" {
  command = plan

  module {
    source = "./modules/network"
  }

  override_data {
    target = data.aws_availability_zones.available
    values = {
      names = ["eu-central-1a"]
    }
  }

  expect_failures = [aws_vpc.this]
}
