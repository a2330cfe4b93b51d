terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

# Region, account and credentials come from the caller's environment (AWS_PROFILE, AWS_REGION), never from a file here.
provider "aws" {
  default_tags {
    tags = {
      application = "memorial-studio"
      studio      = var.name
    }
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}
