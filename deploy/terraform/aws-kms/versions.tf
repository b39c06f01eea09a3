terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # rotation_period_in_days needs 5.57.
      version = ">= 5.57, < 7.0"
    }
  }
}
