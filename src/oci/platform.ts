/** os/arch/variant as Go and the image index name them (OCI image spec, image-index.md). */
export type Platform = { readonly os: string; readonly architecture: string; readonly variant?: string };
