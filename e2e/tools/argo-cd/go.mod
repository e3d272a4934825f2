module sancho.dev/e2e/tools/argo-cd

go 1.26.0

// Not a program: its published CustomResourceDefinition, which the docs' Application is tried against.
require github.com/argoproj/argo-cd/v3 v3.4.13
