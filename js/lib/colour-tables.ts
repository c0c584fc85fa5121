// Made by js/colour-maps.mjs: RGB bytes of each map at evenly spaced knots, base64. Do not edit.
export const COLOUR_TABLES = {
  sequentialLight:
    "////+fr+8/b+7fH95+384ej82+T7ztr6wdD4tMb2p7z0mrLyjqjwe5rtaIzpVX7lQ2/hMF/dHU7Y",
  sequentialDark:
    "ERQYFBgeFxwlGiArHSQyICg5IyxAKDNMLTpZMkJmN0p0PFGBQVmPSmWhU3KzXX7GZovYcJnseqb/",
  divergingLight:
    "szgKv00my2E613RN44df7ppx86+O98Oq+9fG/evj////6O790Nz7usv4pLr0jqjwd5fsYIboSnXjNGLeHU7Y",
  divergingDark:
    "/4pc531Uz3BLt2NDoFY7ikozcD8vVzQqPikkJx8eERQYGiEtIy5ELTxcN0p1QVmPTGikV3e6YobRbpboeqb/",
  viridis:
    "RAFURxdmSCh4RDmBPkmJOVmMMWiOLHWOJoKOI5CMH56JKquCNbd5VMNrbs5YlNZHtd4r2uMo/ecl",
} as const;
