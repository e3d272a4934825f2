module sancho.dev/e2e/tools/flux

go 1.26.0

// Not a program: its published CustomResourceDefinition, which the docs' Kustomizations are tried against.
require github.com/fluxcd/kustomize-controller v1.9.6
